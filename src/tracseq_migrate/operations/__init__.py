"""What each command does, over ports; nothing here prints, and nothing here touches the outside itself."""
