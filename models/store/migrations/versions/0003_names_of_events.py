"""names of events"""

from alembic import op
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_name",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_name")),
    )
    op.execute(
        "INSERT INTO event_name (name, first_at) "
        "SELECT name, min(received_at) FROM event WHERE name IS NOT NULL GROUP BY name"
    )


def downgrade() -> None:
    op.drop_table("event_name")
