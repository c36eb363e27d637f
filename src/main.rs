//! The program.

/// Gives memory back to the system that queries and states have had; glibc's own keeps much of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    highwater::cli::main()
}
