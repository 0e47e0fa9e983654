"""What whoever asked for a job might know then: its result is told only to those who may still."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
ALTER TABLE job ADD COLUMN rights integer[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN job.rights IS 'the layers that whoever asked could see then, and with a minus those that could be '
    'counted for them';
"""


def upgrade() -> None:
    """Add the column."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
