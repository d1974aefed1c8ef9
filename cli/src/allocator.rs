//! Where the process gets its memory: jemalloc, in huge pages where the kernel has them.
//!
//! A node keeps its newest records, of some hundred bytes each, in one large table, and many of them are allocated on one
//! thread and freed on another. In pages of 4 KiB the table outgrows what the processor's address cache covers, and a put
//! spends much of its time waiting for addresses (node/PERFORMANCE.md has the figures).

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// jemalloc's options, which it looks for under this symbol, as a pointer to text that ends with a zero. The environment
/// variable `_RJEM_MALLOC_CONF` overrules them: `thp:default` leaves the choice of pages to the kernel.
#[allow(unsafe_code)] // The symbol is jemalloc's and nobody else's; its type is a C string's address.
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: Option<&'static u8> = b"thp:always\0".first();
