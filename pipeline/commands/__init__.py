"""What the commands do: call the rooms below, show what they give."""
