"""Finds what is wrong in a folder of people's crops: doubles, wrong labels and pictures that show somebody else."""
