#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| data_storage_actors::fuzzed::traceparent(data));
