//! Arguments in, exit code out.

#[global_allocator]
static ALLOCATOR: fragua::allocator::Allocator = fragua::allocator::Allocator;

fn main() -> std::process::ExitCode {
    fragua::allocator::keep_freed_blocks();
    fragua::cli::main()
}
