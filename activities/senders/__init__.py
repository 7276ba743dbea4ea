"""One small file a provider, behind the protocol in `base`."""
