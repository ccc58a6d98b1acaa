"""The script that funnels replace, as it is found in a site's database: its two tables, and what it wrote there.

Belongs here: the tables' own DDL, rows of single people. Does not: assertions, the site's tables (`funnel_world.py`).
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pymysql
    from pymysql.cursors import Cursor

TABLES = (
    "CREATE TABLE {entries} (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, email VARCHAR(255) NOT NULL,"
    " funnel_type VARCHAR(50) NOT NULL, user_id INT NULL, test_id INT NULL,"
    " entered_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, certificate_purchased TINYINT(1) NOT NULL DEFAULT 0,"
    " certificate_purchased_at DATETIME NULL, UNIQUE KEY uq_entry (email, funnel_type, test_id),"
    " KEY idx_email (email, funnel_type), KEY idx_user (user_id, test_id))",
    "CREATE TABLE {outbox} (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, funnel_entry_id INT UNSIGNED NOT NULL,"
    " operation_type VARCHAR(50) NOT NULL, payload TEXT NOT NULL, status VARCHAR(20) NOT NULL DEFAULT 'pending',"
    " retry_count INT NOT NULL DEFAULT 0, last_error TEXT NULL, next_attempt_at DATETIME NULL,"
    " created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,"
    " KEY idx_due (status, next_attempt_at))",
)


@dataclass
class FormerScript:
    """Its tables in the database of a connection. Times are written as they are given: by whose clock is the test's."""

    con: "pymysql.Connection[Cursor]" = field(repr=False)
    entries: str = "funnel_entries"
    outbox: str = "brevo_sync_outbox"

    def create(self) -> "FormerScript":
        """The two tables, anew."""
        self.run("SET sql_mode = ''")
        for name, statement in zip((self.entries, self.outbox), TABLES, strict=True):
            self.run(f"DROP TABLE IF EXISTS {name}")
            self.run(statement.format(entries=self.entries, outbox=self.outbox))
        return self

    def entered(
        self,
        email: str,
        at: datetime | str | None,
        *,
        bought: datetime | str | None = None,
        funnel: str = "language",
        added: str | None = "success",
        updated: str | None = None,
    ) -> int:
        """Somebody entered: without user and test, as the script does it. None: at the server's now.

        `added`, `updated`: what became of the two jobs; None: there is no such row.
        """
        columns: dict[str, object] = {"email": email, "funnel_type": funnel}
        if at is not None:
            columns["entered_at"] = at
        if bought is not None:
            columns |= {"certificate_purchased": 1, "certificate_purchased_at": bought}
        number = self.run(
            f"INSERT INTO {self.entries} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
            *columns.values(),
        )
        for operation, status in (("upsert_contact", added), ("update_after_purchase", updated)):
            if status is not None:
                self.job(number, operation, status, email)
        return number

    def job(self, entry_id: int, operation: str, status: str, email: str = "") -> None:
        """A row of the outbox."""
        self.run(
            f"INSERT INTO {self.outbox} (funnel_entry_id, operation_type, payload, status) VALUES (%s, %s, %s, %s)",
            entry_id,
            operation,
            json.dumps({"email": email}),
            status,
        )

    def run(self, statement: str, *values: object) -> int:
        """One statement; the id that it gave."""
        with self.con.cursor() as ask:
            ask.execute(statement, values or None)
            return int(ask.lastrowid or 0)
