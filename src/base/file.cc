#include "base/file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/random.h"

namespace vitrail::base {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t done = ::write(fd, content.data(), content.size());
    if (done < 0) {
      if (errno == EINTR) continue;
      return system_error(errno, "write " + path);
    }
    content.remove_prefix(static_cast<size_t>(done));
  }
  return {};
}

Status write_and_sync(const std::string& path, std::string_view content, mode_t mode) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file.valid()) return system_error(errno, "create " + path);
  RETURN_IF_ERROR(write_all(file.get(), content, path));
  if (::fsync(file.get()) != 0) return system_error(errno, "fsync " + path);
  return {};
}

}  // namespace

Error system_error(int error_number, std::string_view what) {
  Code code = Code::kInternal;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ESRCH: code = Code::kNotFound; break;
    case EEXIST: code = Code::kAlreadyExists; break;
    case EACCES:
    case EPERM:
    case EROFS: code = Code::kPermissionDenied; break;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM: code = Code::kResourceExhausted; break;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG: code = Code::kInvalidArgument; break;
    case ETIMEDOUT: code = Code::kDeadlineExceeded; break;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EADDRINUSE: code = Code::kUnavailable; break;
    default: break;
  }
  return fail(code, fmt::format("{}: {}", what, std::generic_category().message(error_number)));
}

Result<std::string> read_file(const std::string& path, uint64_t size_max) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return system_error(errno, "open " + path);
  std::string content;
  std::string chunk(64 << 10, '\0');
  for (;;) {
    const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      return system_error(errno, "read " + path);
    }
    if (got == 0) return content;
    if (content.size() + static_cast<size_t>(got) > size_max) {
      return fail(Code::kResourceExhausted, fmt::format("{} is longer than {} bytes", path, size_max));
    }
    content.append(chunk, 0, static_cast<size_t>(got));
  }
}

Status write_file_atomically(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = fmt::format("{}.{:016x}.tmp", path, system_random().next_u64());
  Status written = write_and_sync(temporary, content, mode);
  if (written.ok() && ::rename(temporary.c_str(), path.c_str()) != 0)
    written = system_error(errno, "rename to " + path);
  if (!written.ok()) {
    ::unlink(temporary.c_str());
    return written;
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return system_error(errno, "open " + folder);
  if (::fsync(directory.get()) != 0) return system_error(errno, "fsync " + folder);
  return {};
}

bool file_exists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

Status make_directories(const std::string& path, mode_t mode) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), mode) != 0) {
      const int error_number = errno;
      struct stat info;
      if (::stat(part.c_str(), &info) != 0) return system_error(error_number, "make directory " + part);
      if (!S_ISDIR(info.st_mode)) return system_error(EEXIST, "make directory " + part);
    }
    if (end == std::string::npos) return {};
  }
}

Status remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return system_error(error.value(), "remove " + path);
  return {};
}

}  // namespace vitrail::base
