#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "backup/storage.h"

namespace vitrail::backup {

// A storage in memory that can be full.
class MemoryStorage final : public Storage {
 public:
  uint64_t room = UINT64_MAX;                // Bytes that may still be written.
  std::map<std::string, std::string> files;  // "ks/shard/name/file".
  std::mutex mutex;

  std::string describe() const override { return "memory"; }
  Result<std::vector<std::string>> list(const std::string& shard) override {
    RETURN_IF_ERROR((Place{shard, "any"}).check());
    const std::scoped_lock lock(mutex);
    std::vector<std::string> names;
    for (const auto& [path, bytes] : files) {
      if (!path.starts_with(shard + "/")) continue;
      const std::string name = path.substr(shard.size() + 1, path.rfind('/') - shard.size() - 1);
      if (names.empty() || names.back() != name) names.push_back(name);
    }
    return names;
  }
  Result<std::unique_ptr<FileWriter>> create(const Place& place, const std::string& file) override {
    RETURN_IF_ERROR(place.check());
    return std::unique_ptr<FileWriter>(std::make_unique<Writer>(*this, place.to_string() + "/" + file));
  }
  Result<std::unique_ptr<FileReader>> open(const Place& place, const std::string& file) override {
    RETURN_IF_ERROR(place.check());
    const std::scoped_lock lock(mutex);
    const auto found = files.find(place.to_string() + "/" + file);
    if (found == files.end()) return fail(Code::kNotFound, "no " + file);
    return std::unique_ptr<FileReader>(std::make_unique<Reader>(found->second));
  }
  Result<uint64_t> size(const Place& place, const std::string& file) override {
    RETURN_IF_ERROR(place.check());
    const std::scoped_lock lock(mutex);
    const auto found = files.find(place.to_string() + "/" + file);
    if (found == files.end()) return fail(Code::kNotFound, "no " + file);
    return found->second.size();
  }
  Status remove(const Place& place) override {
    RETURN_IF_ERROR(place.check());
    const std::scoped_lock lock(mutex);
    const std::string prefix = place.to_string() + "/";
    if (std::erase_if(files, [&](const auto& file) { return file.first.starts_with(prefix); }) > 0) return {};
    return fail(Code::kNotFound, "no " + prefix);
  }

 private:
  class Writer final : public FileWriter {
   public:
    Writer(MemoryStorage& storage, std::string path) : storage_(storage), path_(std::move(path)) {}
    Status write(std::string_view bytes) override {
      const std::scoped_lock lock(storage_.mutex);
      if (bytes.size() > storage_.room) return fail(Code::kResourceExhausted, "the storage is full");
      storage_.room -= bytes.size();
      bytes_ += bytes;
      return {};
    }
    Status commit() override {
      const std::scoped_lock lock(storage_.mutex);
      storage_.files[path_] = bytes_;
      return {};
    }

   private:
    MemoryStorage& storage_;
    const std::string path_;
    std::string bytes_;
  };
  class Reader final : public FileReader {
   public:
    explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}
    Result<size_t> read(std::span<char> buffer) override {
      const size_t got = std::min(buffer.size(), bytes_.size() - at_);
      std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), got, buffer.begin());
      at_ += got;
      return got;
    }

   private:
    const std::string bytes_;
    size_t at_ = 0;
  };
};

}  // namespace vitrail::backup
