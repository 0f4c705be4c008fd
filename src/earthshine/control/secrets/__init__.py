"""API keys of agents: kept encrypted, handed to the agent's process, never shown again."""
