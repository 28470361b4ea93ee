"""The venue itself: accounts, the order desk, corporate actions, and their durable state."""
