"""What a process runs on: files, processors and memory, devices; and the classes of a package."""
