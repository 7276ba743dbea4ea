"""facts of decisions"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("decision", sa.Column("facts", JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("decision", "facts")
