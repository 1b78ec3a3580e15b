#include "topo/store.h"

#include "base/clock.h"
#include "topo/paths.h"

namespace vitrail::topo {

Result<std::string> normalize_path(std::string_view path, bool allow_root) {
  if (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) {
    if (allow_root) return std::string();
    return fail(Code::kInvalidArgument, "a topology path must not be empty");
  }
  const auto bad = [&](const char* why) {
    return fail(Code::kInvalidArgument, "bad topology path \"" + std::string(path.substr(0, 200)) + "\": " + why);
  };
  if (path.size() > kMaxPathBytes) return bad("it is too long");
  size_t start = 0;
  for (size_t i = 0; i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/') {
      const auto byte = static_cast<unsigned char>(path[i]);
      if (byte < 0x20 || byte == 0x7f) return bad("it has a control character");
      continue;
    }
    const std::string_view part = path.substr(start, i - start);
    if (part.empty()) return bad("it has an empty part");
    if (part == "." || part == "..") return bad("\".\" and \"..\" have no meaning here");
    start = i + 1;
  }
  return std::string(path);
}

net::Wait bounded(net::Wait wait, base::Duration fallback) {
  if (wait.deadline == base::TimePoint::max()) wait.deadline = base::system_clock().now() + fallback;
  return wait;
}

net::Task<Result<std::unique_ptr<Lock>>> Store::try_lock(std::string dir, std::string contents, LockOptions options) {
  options.queue = false;
  return lock(std::move(dir), std::move(contents), std::move(options));
}

net::Task<Result<std::unique_ptr<Lock>>> Store::lock_name(std::string name, std::string contents, LockOptions options) {
  options.ttl = kNamedLockTtl;
  options.require_dir = false;
  return lock(std::string(kNamedLocksDir) + "/" + name, std::move(contents), std::move(options));
}

}  // namespace vitrail::topo
