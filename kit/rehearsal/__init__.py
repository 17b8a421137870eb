"""Rehearsals: what a whole run will take on this machine, measured on a short one."""
