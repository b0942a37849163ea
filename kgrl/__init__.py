"""Knowledge-nucleated curriculum learning."""
