"""Faults from outside: commands that are killed, disks that are full or read-only, clocks, inputs that change."""
