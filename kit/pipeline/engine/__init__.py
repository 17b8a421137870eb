"""What does the work of stages: this process, or a cluster of machines; both give the same bytes."""
