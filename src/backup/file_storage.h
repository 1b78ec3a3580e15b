#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backup/storage.h"

namespace vitrail::backup {

// Backups in a folder: <root>/<keyspace>/<shard>/<backup>/<file>. A file is written under another name and renamed
// when it is durable. Folders are made when they are needed; without a root there are no backups.
class FileStorage final : public Storage {
 public:
  explicit FileStorage(std::string root);

  std::string describe() const override { return "folder " + root_; }
  Result<std::vector<std::string>> list(const std::string& shard) override;
  Result<std::unique_ptr<FileWriter>> create(const Place& place, const std::string& file) override;
  Result<std::unique_ptr<FileReader>> open(const Place& place, const std::string& file) override;
  Result<uint64_t> size(const Place& place, const std::string& file) override;
  Status remove(const Place& place) override;

 private:
  Result<std::string> folder_of(const Place& place) const;
  const std::string root_;
};

}  // namespace vitrail::backup
