"""What an operator meets, from a bare Debian to the last file removed. `make system-test` runs it; pytest does not."""
