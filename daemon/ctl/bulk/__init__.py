"""Enrolment of hundreds: people from a CSV file or a folder, sent at the gate's pace, and taken up again where it was interrupted."""
