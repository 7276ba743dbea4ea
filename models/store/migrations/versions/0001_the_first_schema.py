"""The first schema."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaign",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_campaign")),
    )
    op.create_table(
        "campaign_trigger",
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("type", "name", "campaign_key", name=op.f("pk_campaign_trigger")),
    )
    with op.batch_alter_table("campaign_trigger", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_campaign_trigger_campaign_key"), ["campaign_key"], unique=False)

    op.create_table(
        "campaign_version",
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "definition", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("campaign_key", "version", name=op.f("pk_campaign_version")),
    )
    op.create_table(
        "consent",
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "channel", "topic", name=op.f("pk_consent")),
    )
    op.create_table(
        "customer",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column(
            "attributes", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=True),
        sa.Column("trigger_id", sa.String(length=255), nullable=False),
        sa.Column("trigger_name", sa.String(length=255), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("entry_id", sa.String(length=64), nullable=True),
        sa.Column("winner", sa.String(length=64), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_decision_campaign_key_decision_outcome"), ["campaign_key", "outcome"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_decision_customer_id_decision_id"), ["customer_id", "id"], unique=False)
        batch_op.create_index(
            "uq_decision_entered",
            ["campaign_key", "customer_id", "trigger_id"],
            unique=True,
            sqlite_where=sa.text("outcome = 'entered'"),
            postgresql_where=sa.text("outcome = 'entered'"),
        )

    op.create_table(
        "dispatch",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("entry_id", sa.String(length=64), nullable=False),
        sa.Column(
            "payload", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatch")),
    )
    with op.batch_alter_table("dispatch", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dispatch_due_at"), ["due_at"], unique=False)

    op.create_table(
        "due_entry",
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("existing", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_key", "customer_id", name=op.f("pk_due_entry")),
    )
    with op.batch_alter_table("due_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_due_entry_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_due_entry_existing_due_entry_due_at"), ["existing", "due_at"], unique=False
        )

    op.create_table(
        "entry",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=True),
        sa.Column("entry_key", sa.String(length=255), nullable=True),
        sa.Column(
            "trigger", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=True
        ),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("ended_by", sa.String(length=32), nullable=True),
        sa.Column("exit_request", sa.String(length=32), nullable=True),
        sa.Column("held", sa.String(length=32), nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exposed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("converted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
    )
    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_entry_campaign_key_entry_status_entry_entered_at_entry_id"),
            ["campaign_key", "status", "entered_at", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_entry_customer_id_entry_campaign_key"), ["customer_id", "campaign_key"], unique=False
        )

    op.create_table(
        "erasure",
        sa.Column("customer_hash", sa.String(length=64), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_hash", name=op.f("pk_erasure")),
    )
    op.create_table(
        "event",
        sa.Column("message_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=True),
        sa.Column("anonymous_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column(
            "properties", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "answer", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=True
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_event_customer_id_event_name_event_timestamp"),
            ["customer_id", "name", "timestamp"],
            unique=False,
        )

    op.create_table(
        "holdout",
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("converted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("campaign_key", "customer_id", name=op.f("pk_holdout")),
    )
    op.create_table(
        "segment",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_segment")),
    )
    op.create_table(
        "segment_member",
        sa.Column("segment_key", sa.String(length=64), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("segment_key", "customer_id", name=op.f("pk_segment_member")),
    )
    with op.batch_alter_table("segment_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_segment_member_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "suppression",
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "address_hash", name=op.f("pk_suppression")),
    )
    op.create_table(
        "template",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column(
            "content", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_template")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("entry_id", sa.String(length=64), nullable=False),
        sa.Column("step_id", sa.String(length=255), nullable=False),
        sa.Column("repetition", sa.Integer(), nullable=False),
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("category", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempt_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=True),
        sa.Column("provider_id", sa.String(length=255), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unsubscribed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("converted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_message_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_message_campaign_key_message_step_id_message_status"),
            ["campaign_key", "step_id", "status"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_message_entry_id_message_step_id_message_repetition"),
            ["entry_id", "step_id", "repetition"],
            unique=True,
        )

    op.create_table(
        "step_outcome",
        sa.Column("entry_id", sa.String(length=64), nullable=False),
        sa.Column("step_id", sa.String(length=255), nullable=False),
        sa.Column("repetition", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("campaign_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_step_outcome_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", "step_id", "repetition", name=op.f("pk_step_outcome")),
    )
    with op.batch_alter_table("step_outcome", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_step_outcome_campaign_key_step_outcome_step_id_step_outcome_outcome_step_outcome_reason"),
            ["campaign_key", "step_id", "outcome", "reason"],
            unique=False,
        )

    op.create_index(
        "uq_entry_running",
        "entry",
        ["campaign_key", "customer_id", sa.text("coalesce('=' || entry_key, '')")],
        unique=True,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )


def downgrade() -> None:
    op.drop_index("uq_entry_running", "entry")
    with op.batch_alter_table("step_outcome", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_step_outcome_campaign_key_step_outcome_step_id_step_outcome_outcome_step_outcome_reason")
        )

    op.drop_table("step_outcome")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_message_entry_id_message_step_id_message_repetition"))
        batch_op.drop_index(batch_op.f("ix_message_campaign_key_message_step_id_message_status"))

    op.drop_table("message")
    op.drop_table("template")
    op.drop_table("suppression")
    with op.batch_alter_table("segment_member", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_segment_member_customer_id"))

    op.drop_table("segment_member")
    op.drop_table("segment")
    op.drop_table("holdout")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_customer_id_event_name_event_timestamp"))

    op.drop_table("event")
    op.drop_table("erasure")
    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_entry_customer_id_entry_campaign_key"))
        batch_op.drop_index(batch_op.f("ix_entry_campaign_key_entry_status_entry_entered_at_entry_id"))

    op.drop_table("entry")
    with op.batch_alter_table("due_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_due_entry_existing_due_entry_due_at"))
        batch_op.drop_index(batch_op.f("ix_due_entry_customer_id"))

    op.drop_table("due_entry")
    with op.batch_alter_table("dispatch", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dispatch_due_at"))

    op.drop_table("dispatch")
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_decision_entered",
            sqlite_where=sa.text("outcome = 'entered'"),
            postgresql_where=sa.text("outcome = 'entered'"),
        )
        batch_op.drop_index(batch_op.f("ix_decision_customer_id_decision_id"))
        batch_op.drop_index(batch_op.f("ix_decision_campaign_key_decision_outcome"))

    op.drop_table("decision")
    op.drop_table("customer")
    op.drop_table("consent")
    op.drop_table("campaign_version")
    with op.batch_alter_table("campaign_trigger", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_campaign_trigger_campaign_key"))

    op.drop_table("campaign_trigger")
    op.drop_table("campaign")
