//! The zone node.

fn main() {}
