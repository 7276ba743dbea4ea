"""pruned decisions"""

from alembic import op
import sqlalchemy as sa

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pruned_decisions",
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_key", "outcome", name=op.f("pk_pruned_decisions")),
    )
    op.create_index(op.f("ix_decision_decided_at"), "decision", ["decided_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_decision_decided_at"), "decision")
    op.drop_table("pruned_decisions")
