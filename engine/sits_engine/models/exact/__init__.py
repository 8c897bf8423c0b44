"""The network of Exact: judges which classes a window holds, and shows where it sees them."""
