#include "shard/json_parameter.h"

#include <fmt/core.h>

#include "base/file.h"

namespace vitrail::shard {

Result<std::string> read_parameter_file(const std::string& path) {
  auto text = base::read_file(path, uint64_t{16} << 20);
  if (!text && text.error().code() == Code::kNotFound) {
    return fail(Code::kNotFound, fmt::format("open {}: no such file or directory", path));
  }
  return text;
}

}  // namespace vitrail::shard
