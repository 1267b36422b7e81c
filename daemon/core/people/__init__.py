"""Who is enrolled: records, permissions, and the rules of enrolment."""
