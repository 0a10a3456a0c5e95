#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| data_storage_actors::fuzzed::query_string(data));
