#include "backup/file_storage.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "backup/descriptor.h"
#include "base/file.h"
#include "base/random.h"

namespace vitrail::backup {
namespace {

constexpr std::string_view kUnfinished = ".unfinished";

Status sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return base::system_error(errno, "sync " + path);
  return {};
}

class Writer final : public FileWriter {
 public:
  Writer(Descriptor file, std::string temporary, std::string path)
      : file_(std::move(file)), temporary_(std::move(temporary)), path_(std::move(path)) {}
  ~Writer() override {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  Status write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t put = ::write(file_.get(), bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return base::system_error(errno, "write " + path_);
      bytes.remove_prefix(static_cast<size_t>(put));
    }
    return {};
  }
  Status commit() override {
    if (::fsync(file_.get()) != 0) return base::system_error(errno, "sync " + path_);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return base::system_error(errno, "rename to " + path_);
    committed_ = true;
    return sync_folder(path_.substr(0, path_.rfind('/')));
  }

 private:
  Descriptor file_;
  const std::string temporary_, path_;
  bool committed_ = false;
};

class Reader final : public FileReader {
 public:
  Reader(Descriptor file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  Result<size_t> read(std::span<char> buffer) override {
    for (;;) {
      const ssize_t got = ::read(file_.get(), buffer.data(), buffer.size());
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) return base::system_error(errno, "read " + path_);
    }
  }

 private:
  Descriptor file_;
  const std::string path_;
};

}  // namespace

FileStorage::FileStorage(std::string root) : root_(std::move(root)) {}

Result<std::string> FileStorage::folder_of(const Place& place) const {
  RETURN_IF_ERROR(place.check());
  return root_ + "/" + place.to_string();
}

Result<std::vector<std::string>> FileStorage::list(const std::string& shard) {
  RETURN_IF_ERROR((Place{shard, "any"}).check());
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(root_ + "/" + shard, error), end;
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) names.push_back(entry->path().filename().string());
  }
  if (error) return base::system_error(error.value(), "list " + root_ + "/" + shard);
  std::ranges::sort(names);
  return names;
}

Result<std::unique_ptr<FileWriter>> FileStorage::create(const Place& place, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string folder, folder_of(place));
  // Durable from the top on: a part in a folder that a crash forgets is lost.
  if (!base::file_exists(folder)) {
    RETURN_IF_ERROR(base::make_directories(folder));
    const std::string shard = root_ + "/" + place.shard;
    RETURN_IF_ERROR(sync_folder(shard));
    RETURN_IF_ERROR(sync_folder(shard.substr(0, shard.rfind('/'))));
    RETURN_IF_ERROR(sync_folder(root_));
  }
  const std::string path = folder + "/" + file;
  const std::string temporary = fmt::format("{}{}.{:016x}", path, kUnfinished, base::system_random().next_u64());
  Descriptor descriptor(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
  if (!descriptor) return base::system_error(errno, "create " + temporary);
  return std::unique_ptr<FileWriter>(std::make_unique<Writer>(std::move(descriptor), temporary, path));
}

Result<std::unique_ptr<FileReader>> FileStorage::open(const Place& place, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string folder, folder_of(place));
  const std::string path = folder + "/" + file;
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) return base::system_error(errno, "open " + path);
  return std::unique_ptr<FileReader>(std::make_unique<Reader>(std::move(descriptor), path));
}

Result<uint64_t> FileStorage::size(const Place& place, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string folder, folder_of(place));
  struct stat info;
  if (::stat((folder + "/" + file).c_str(), &info) != 0) return base::system_error(errno, folder + "/" + file);
  return static_cast<uint64_t>(info.st_size);
}

Status FileStorage::remove(const Place& place) {
  ASSIGN_OR_RETURN(const std::string folder, folder_of(place));
  if (!base::file_exists(folder)) return fail(Code::kNotFound, "there is no backup " + place.to_string());
  const std::string manifest = folder + "/" + std::string(kManifestFile);
  if (::unlink(manifest.c_str()) != 0 && errno != ENOENT) return base::system_error(errno, "remove " + manifest);
  RETURN_IF_ERROR(sync_folder(folder));
  return base::remove_tree(folder);
}

}  // namespace vitrail::backup
