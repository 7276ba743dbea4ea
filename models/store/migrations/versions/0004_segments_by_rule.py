"""segments by rule"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    rule = sa.JSON(none_as_null=True).with_variant(
        postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
    )
    op.add_column("segment", sa.Column("rule", rule, nullable=True))
    op.add_column("segment", sa.Column("rule_version", sa.Integer(), server_default="0", nullable=False))
    op.add_column("segment", sa.Column("recomputed_to", sa.String(length=255), nullable=True))
    op.add_column(
        "segment", sa.Column("recompute_triggers", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_table(
        "segment_mention",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("segment_key", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "segment_key", name=op.f("pk_segment_mention")),
    )
    op.create_index(op.f("ix_segment_mention_segment_key"), "segment_mention", ["segment_key"])
    op.create_table(
        "segment_turn",
        sa.Column("segment_key", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("segment_key", "customer_id", name=op.f("pk_segment_turn")),
    )
    op.create_index(op.f("ix_segment_turn_at"), "segment_turn", ["at"])
    op.create_index(op.f("ix_segment_turn_customer_id"), "segment_turn", ["customer_id"])
    op.create_table(
        "segment_change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("segment_key", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("change", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_change")),
    )
    op.create_index(op.f("ix_segment_change_customer_id_segment_change_id"), "segment_change", ["customer_id", "id"])
    op.create_index(op.f("ix_segment_change_segment_key_segment_change_id"), "segment_change", ["segment_key", "id"])


def downgrade() -> None:
    for table in ("segment_change", "segment_turn", "segment_mention"):
        op.drop_table(table)
    for column in ("recompute_triggers", "recomputed_to", "rule_version", "rule"):
        op.drop_column("segment", column)
