"""Text and WhatsApp messages by Twilio."""
