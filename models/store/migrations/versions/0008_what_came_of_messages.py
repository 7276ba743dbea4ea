"""what came of messages"""

from alembic import op
import sqlalchemy as sa

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIMES = ("delivered_at", "opened_at", "machine_opened_at", "clicked_at", "bounced_at", "complained_at")


def upgrade() -> None:
    op.create_table(
        "link",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
    )
    for name in TIMES:
        op.add_column("message", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_message_address"), "message", ["address"])


def downgrade() -> None:
    op.drop_index(op.f("ix_message_address"), "message")
    for name in reversed(TIMES):
        op.drop_column("message", name)
    op.drop_table("link")
