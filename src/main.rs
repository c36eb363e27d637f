//! The program.

use std::process::ExitCode;

/// Gives memory back to the system that queries and states have had; glibc's own keeps much of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The allocator's option for how many milliseconds memory that was given back is kept before the system gets it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    highwater::cli::main(keep_nothing)
}

/// Memory that is given back goes to the system at once, where it is bounded: a second later, as usual, there may be as
/// much of it as is in use.
fn keep_nothing() {
    // SAFETY: it sets a number, and is called before there is a second thread.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) }
}
