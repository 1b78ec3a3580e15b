#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::base {

// Whole files, for settings, pid files, certificates and small records. These calls block; not for an event loop.

// The content of a regular file.
//   kNotFound           no such file.
//   kPermissionDenied   not readable.
//   kResourceExhausted  longer than `size_max` bytes.
Result<std::string> read_file(const std::string& path, uint64_t size_max = 64ull << 20);

// Replaces `path` in one step: readers and a crash see the old content or the new one, never a part. The content and
// the directory entry are on disk when it returns. On failure the old file is untouched.
Status write_file_atomically(const std::string& path, std::string_view content, mode_t mode = 0640);

bool file_exists(const std::string& path);

// Makes `path` and its missing parents. Succeeds if it exists as a directory.
Status make_directories(const std::string& path, mode_t mode = 0750);

// Removes a directory tree or a file; succeeds if there is nothing. Symbolic links are removed, not followed.
Status remove_tree(const std::string& path);

// An Error for a failed system call: the code that fits `error_number`, and "what: strerror".
Error system_error(int error_number, std::string_view what);

}  // namespace vitrail::base
