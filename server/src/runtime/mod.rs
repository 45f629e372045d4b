//! What runs connections: workers, the table of connections, clocks and accounts of what is scarce.

pub(crate) mod allocator;
pub(crate) mod conn_table;
pub(crate) mod memory;
pub(crate) mod ownership;
pub(crate) mod places;
pub(crate) mod shared;
pub(crate) mod timer;
pub(crate) mod worker;
