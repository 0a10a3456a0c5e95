use std::process::ExitCode;

fn main() -> ExitCode {
    data_storage::cli::main()
}
