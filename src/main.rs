//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    highwater::cli::main(keep_little)
}

/// Has the allocator give back what was freed, where memory is bounded: glibc's keeps as much of it as is in use, in as
/// many places as there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_little() {
    /// Places; what is freed at an end of one is kept up to so many bytes; larger pieces have none.
    const OPTIONS: [(libc::c_int, libc::c_int); 3] =
        [(libc::M_ARENA_MAX, 4), (libc::M_TRIM_THRESHOLD, 1 << 20), (libc::M_MMAP_THRESHOLD, 256 << 10)];
    for (option, value) in OPTIONS {
        // SAFETY: it sets a number, and is called before there is a second thread.
        unsafe { libc::mallopt(option, value) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_little() {}
