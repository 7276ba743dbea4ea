"""own faults, caps on messages, topics"""

from alembic import op
import sqlalchemy as sa

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("paused_because", sa.Text(), nullable=True))
    op.create_table(
        "message_cap",
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("channel", sa.String(length=16), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("within", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_message_cap")),
    )
    op.create_table(
        "topic",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("opt_in", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_topic")),
    )


def downgrade() -> None:
    op.drop_table("topic")
    op.drop_table("message_cap")
    op.drop_column("campaign", "paused_because")
