"""The tables as SQLAlchemy and GeoAlchemy2 know them; `migrations/` makes them, a test holds the two equal."""

from __future__ import annotations

from geoalchemy2 import Geometry
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

_now = text("now()")


def _geometry() -> Geometry:
    return Geometry("GEOMETRY", srid=4326, spatial_index=False)


policy = Table(
    "policy",
    metadata,
    Column("one", Boolean, CheckConstraint("one", name="policy_one_row"), primary_key=True),
    Column("revision", BigInteger, nullable=False, server_default=text("1")),
    comment="One row, counted up by every change of agencies, layers, shares, operations and credentials.",
)

agency = Table(
    "agency",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("host", Boolean, nullable=False, server_default=text("false")),
)

layer = Table(
    "layer",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("agency_id", Integer, ForeignKey("agency.id"), nullable=False),
    Column("name", Text, nullable=False, unique=True, comment="agency.slug"),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("epoch", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("features", Integer, nullable=False, server_default=text("0"), comment="rows in feature"),
    Column("heard_at", DateTime(timezone=True)),
    Column("next_expiry", DateTime(timezone=True), comment="no feature expires before this"),
    Column("repair", Boolean, nullable=False, server_default=text("false")),
    Column("area", ARRAY(Double)),
    Column("null_island", Text, nullable=False, server_default=text("'flag'")),
    Column("reach_m", Double),
    Column("stale_after_s", Integer, nullable=False),
    Column("expire_after_s", Integer),
    Column("resolution", SmallInteger, nullable=False, server_default=text("9")),
    postgresql_with={"fillfactor": "50"},
)

share = Table(
    "share",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("layer_id", Integer, ForeignKey("layer.id"), nullable=False),
    Column("audience", Text, nullable=False, comment="agency, all or public"),
    Column("agency_id", Integer, ForeignKey("agency.id")),
    Column("grade", Text, nullable=False, server_default=text("'full'"), comment="full or generalized"),
    CheckConstraint("grade = 'full' OR (grade = 'generalized' AND audience <> 'public')", name="share_grade"),
    CheckConstraint("(audience = 'agency') = (agency_id IS NOT NULL)", name="share_audience"),
    UniqueConstraint(
        "layer_id", "audience", "agency_id", name="share_once", postgresql_nulls_not_distinct=True
    ),
)

operation = Table(
    "operation",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("agency_id", Integer, ForeignKey("agency.id"), nullable=False),
)

operation_layer = Table(
    "operation_layer",
    metadata,
    Column("operation_id", Integer, ForeignKey("operation.id"), primary_key=True),
    Column("layer_id", Integer, ForeignKey("layer.id"), primary_key=True),
)

credential = Table(
    "credential",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("agency_id", Integer, ForeignKey("agency.id"), nullable=False),
    Column(
        "parent_id",
        Integer,
        ForeignKey("credential.id"),
        comment="the key that a ticket was asked for with, also of its session: they end with it",
    ),
    Column("kind", Text, nullable=False, comment="key, ticket or session"),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, comment="what may be shown of the secret"),
    Column("hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the secret"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

feature = Table(
    "feature",
    metadata,
    Column("layer_id", Integer, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("geometry", _geometry()),
    Column("cell", BigInteger, comment="coarse H3 cell of a point"),
    Column("properties", JSONB, nullable=False),
    Column("observed_at", DateTime(timezone=True), nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revision", BigInteger, nullable=False),
    Index("feature_cell", "layer_id", "cell"),
    Index("feature_shape", "geometry", postgresql_using="gist", postgresql_where=text("cell IS NULL")),
    postgresql_with={"fillfactor": "50"},
)

tombstone = Table(
    "tombstone",
    metadata,
    Column("layer_id", Integer, primary_key=True),
    Column("feature_id", Text, primary_key=True),
    Column("gone_at", DateTime(timezone=True), nullable=False),
    comment="What was deleted of late, so that an observation from before does not bring it back.",
)

change = Table(
    "change",
    metadata,
    Column("layer_id", Integer, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("received_at", DateTime(timezone=True), primary_key=True),
    Column("feature_id", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("why", Text),
    Column("geometry", _geometry()),
    Column("properties", JSONB, nullable=False),
    Column("observed_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("actor", Text, nullable=False),
    Index("change_track", "layer_id", "feature_id", "observed_at"),
    Index("change_gone", "layer_id", "revision", postgresql_where=text("op = 'gone'")),
    postgresql_partition_by="RANGE (received_at)",
)

coverage = Table(
    "coverage",
    metadata,
    Column("layer_id", Integer, primary_key=True),
    Column("feature_id", Text, primary_key=True),
    Column("ranges", LargeBinary, nullable=False, comment="packed hexes, see layers/hexes.py"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("layer_id", Integer, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("receipt", JSONB, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_now),
)

feed_refusal = Table(
    "feed_refusal",
    metadata,
    Column("layer_id", Integer, primary_key=True, autoincrement=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("features", BigInteger, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("last_code", Text, nullable=False),
    Column("last_pointer", Text, nullable=False),
    Column("last_detail", Text, nullable=False),
    comment="Features refused at the door of a layer, counted by all processes together.",
    prefixes=["UNLOGGED"],
)

worker = Table(
    "worker",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column(
        "subscribers",
        JSONB,
        nullable=False,
        comment='viewers by layer and agency (0 is the public): {"7": {"2": 5}}',
    ),
    comment="A row for each process that serves; one not seen of late has died.",
    prefixes=["UNLOGGED"],
)

coverage_run = Table(
    "coverage_run",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("agency_id", Integer, ForeignKey("agency.id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("status", Text, nullable=False),
    Column("question", JSONB, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Index("coverage_run_asked", "agency_id", "asked_at"),
    comment="Questions of coverage as they were settled: with the moment, the area as it was placed, each "
    "layer's revision.",
)

cell_table = Table(
    "cell_table",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("agency_id", Integer, ForeignKey("agency.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("resolution", SmallInteger, nullable=False),
    Column("cells", Integer, nullable=False),
    Column(
        "packed",
        LargeBinary,
        nullable=False,
        comment="ranks (int64) and values (float64), little-endian, one after the other",
    ),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=_now),
    UniqueConstraint("agency_id", "name", name="cell_table_name"),
    comment="Values by H3 cell that planners have uploaded, such as people, to weigh ground with.",
)

saved_analysis = Table(
    "saved_analysis",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("agency_id", Integer, ForeignKey("agency.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("question", JSONB, nullable=False),
    Column("rule", JSONB, comment='what must hold while it is watched: {"covered_share_at_least": 0.95}'),
    Column("watched", Boolean, nullable=False, server_default=text("false")),
    Column("gap_layer_id", Integer, ForeignKey("layer.id")),
    Column("alert_layer_id", Integer, ForeignKey("layer.id")),
    Column("actor", Text, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=_now),
    UniqueConstraint("agency_id", "name", name="saved_analysis_name"),
)

job = Table(
    "job",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("agency_id", Integer, ForeignKey("agency.id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("path", Text, nullable=False, comment="what was asked, such as /coverage/placement"),
    Column("state", Text, nullable=False, comment="waiting, running, done, failed or cancelled"),
    Column("progress", Double, nullable=False, server_default=text("0")),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column(
        "seen_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=_now,
        comment="when its process last said that it is at it; one that has died says nothing",
    ),
    Column("finished_at", DateTime(timezone=True)),
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    Column("media_type", Text),
    Column("result", LargeBinary),
    Column("problem", JSONB),
    Column(
        "rights",
        ARRAY(Integer),
        nullable=False,
        server_default=text("'{}'"),
        comment="the layers that whoever asked could see then, and with a minus those that could be counted for them",
    ),
    Index("job_asked", "agency_id", "asked_at"),
)
