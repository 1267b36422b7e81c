"""Row numbers that are never used twice, not even after their rows are deleted."""

from daemon.edges.store.database import Database, counter


def next_number(database: Database, table: str, column: str) -> int:
    """The number that AUTOINCREMENT would give the next row. It is needed before the row exists, because the row is sealed with it."""
    row = database.row(
        f"SELECT max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?), (SELECT coalesce(max({column}), 0) FROM {table}))",
        (table,),
    )
    return counter(row) + 1


def take_over_numbers(database: Database, other: Database) -> None:
    """No number that another store has used is used again. Within a transaction. Raises StoreError."""
    for table, last in other.rows("SELECT name, seq FROM sqlite_sequence"):
        if database.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last, table)).rowcount == 0:
            database.execute("INSERT INTO sqlite_sequence VALUES (?,?)", (table, last))
