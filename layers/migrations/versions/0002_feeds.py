"""How feeds do: what was refused at the door, and who follows; and an index by which departures are found."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
CREATE INDEX change_gone ON change (layer_id, revision) WHERE op = 'gone';

-- Unlogged: both say how things are going. A crash of the server starts them anew, and costs no feature.
CREATE UNLOGGED TABLE feed_refusal (
    layer_id integer PRIMARY KEY,
    since timestamptz NOT NULL,
    features bigint NOT NULL,
    last_at timestamptz NOT NULL,
    last_code text NOT NULL,
    last_pointer text NOT NULL,
    last_detail text NOT NULL
);
COMMENT ON TABLE feed_refusal IS 'Features refused at the door of a layer, counted by all processes together.';

CREATE UNLOGGED TABLE worker (
    id uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    subscribers jsonb NOT NULL
);
COMMENT ON TABLE worker IS 'A row for each process that serves; one not seen of late has died.';
COMMENT ON COLUMN worker.subscribers IS 'viewers by layer and agency (0 is the public): {"7": {"2": 5}}';
"""


def upgrade() -> None:
    """Add the index and both tables."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
