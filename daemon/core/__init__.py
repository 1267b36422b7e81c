"""The pure core: no clock, no input or output, no threads, no randomness. Time is data on the frame."""
