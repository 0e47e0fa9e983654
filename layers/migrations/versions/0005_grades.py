"""How much of a layer a share gives: all of it, or only what analyses may count of it, by cells of a kilometre."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = """
ALTER TABLE share ADD COLUMN grade text NOT NULL DEFAULT 'full';
ALTER TABLE share ADD CONSTRAINT share_grade CHECK (grade = 'full' OR (grade = 'generalized' AND audience <> 'public'));
COMMENT ON COLUMN share.grade IS 'full or generalized';
"""


def upgrade() -> None:
    """Add the column."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
