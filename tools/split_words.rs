//! Reads lines and writes the words of each as the built-in embedder has them (`benches/words.py`).

use data_storage_actors::embedder::split_words;

fn main() -> std::io::Result<()> {
    for line in std::io::stdin().lines() {
        println!("{}", split_words(&line?).join(" "));
    }
    Ok(())
}
