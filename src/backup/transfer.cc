#include "backup/transfer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "backup/descriptor.h"
#include "base/file.h"

namespace vitrail::backup {
namespace {

// Runs work(0) ... work(count - 1) on some threads; the first error stops all and is returned.
Status run_parallel(size_t count, unsigned threads, Progress& progress, const std::function<Status(size_t)>& work) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  std::mutex mutex;
  Status outcome;
  const auto run = [&] {
    while (!failed && !progress.stop) {
      const size_t i = next++;
      if (i >= count) return;
      Status done = work(i);
      if (done.ok()) continue;
      const std::scoped_lock lock(mutex);
      if (!failed.exchange(true)) outcome = std::move(done);
    }
  };
  std::vector<std::thread> others;
  const size_t wanted = std::clamp<size_t>(threads, 1, std::max<size_t>(count, 1));
  for (size_t i = 1; i < wanted; ++i) others.emplace_back(run);
  run();
  for (auto& thread : others) thread.join();
  if (outcome.ok() && progress.stop) return fail(Code::kCanceled, "it was told to stop");
  return outcome;
}

struct Piece {
  const SourceFile* file;
  uint64_t offset;
  uint64_t length;
};

Result<Part> store_piece(Storage& storage, const Place& place, const Piece& piece, const std::string& name,
                         const TransferOptions& options, Progress& progress) {
  const Descriptor in(::open(piece.file->path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in) return base::system_error(errno, "open " + piece.file->path);
  uint64_t at = piece.offset;
  const uint64_t end = piece.offset + piece.length;
  const ReadSome read = [&](std::span<char> buffer) -> Result<size_t> {
    const size_t want = std::min<uint64_t>(buffer.size(), end - at);
    if (want == 0) return 0;
    for (;;) {
      const ssize_t got = ::pread(in.get(), buffer.data(), want, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::system_error(errno, "read " + piece.file->path);
      if (got == 0) return fail(Code::kAborted, piece.file->path + " became shorter while it was read");
      at += static_cast<uint64_t>(got);
      return static_cast<size_t>(got);
    }
  };
  ASSIGN_OR_RETURN(const auto writer, storage.create(place, name));
  auto part = write_part(read, *writer, options.compress, options.level, progress);
  if (!part.ok()) return std::move(part).error().with_context("store " + piece.file->name);
  part->base = piece.file->base;
  part->name = piece.file->name;
  part->offset = piece.offset;
  return part;
}

std::string part_title(const Place& place, const Manifest& manifest, size_t i) {
  return fmt::format("part {} of backup {} ({})", i, place.to_string(), manifest.parts[i].name);
}

Status read_one(Storage& storage, const Place& place, const Manifest& manifest, size_t i, const WriteAll& sink,
                Progress& progress) {
  auto reader = storage.open(place, std::to_string(i));
  if (!reader.ok()) {
    if (reader.error().code() != Code::kNotFound) return std::move(reader).error();
    return fail(Code::kDataLoss, part_title(place, manifest, i) + " is missing");
  }
  Status read = read_part(**reader, manifest.parts[i], manifest.compressed, sink, progress);
  if (read.ok() || read.error().code() == Code::kCanceled) return read;
  return std::move(read).error().with_context(part_title(place, manifest, i));
}

Status restore_one(Storage& storage, const Place& place, const Manifest& manifest, size_t i, const std::string& path,
                   Progress& progress) {
  const Descriptor out(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0660));
  if (!out) return base::system_error(errno, "create " + path);
  uint64_t at = manifest.parts[i].offset;
  const WriteAll write = [&](std::string_view bytes) -> Status {
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(out.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return base::system_error(errno, "write " + path);
      at += static_cast<uint64_t>(put);
      bytes.remove_prefix(static_cast<size_t>(put));
    }
    return {};
  };
  RETURN_IF_ERROR(read_one(storage, place, manifest, i, write, progress));
  if (::fdatasync(out.get()) != 0) return base::system_error(errno, "sync " + path);
  return {};
}

}  // namespace

Result<std::vector<Part>> store_files(Storage& storage, const Place& place, const std::vector<SourceFile>& files,
                                      const TransferOptions& options, Progress& progress) {
  std::vector<Piece> pieces;
  uint64_t total = 0;
  for (const SourceFile& file : files) {
    uint64_t offset = 0;
    do {
      const uint64_t length = std::min(options.piece_bytes, file.size - offset);
      pieces.push_back({&file, offset, length});
      offset += length;
    } while (offset < file.size);
    total += file.size;
  }
  progress.total = total;
  std::vector<Part> parts(pieces.size());
  RETURN_IF_ERROR(run_parallel(pieces.size(), options.concurrency, progress, [&](size_t i) -> Status {
    ASSIGN_OR_RETURN(parts[i], store_piece(storage, place, pieces[i], std::to_string(i), options, progress));
    return {};
  }));
  return parts;
}

Status check_parts(Storage& storage, const Place& place, const Manifest& manifest) {
  for (size_t i = 0; i < manifest.parts.size(); ++i) {
    const auto size = storage.size(place, std::to_string(i));
    if (!size.ok()) {
      if (size.error().code() != Code::kNotFound) return Error(size.error());
      return fail(Code::kDataLoss, part_title(place, manifest, i) + " is missing");
    }
    const auto& wanted = manifest.parts[i].stored;
    if (!wanted || *wanted == *size) continue;
    return fail(Code::kDataLoss, fmt::format("{} is {}: {} bytes instead of {}", part_title(place, manifest, i),
                                             *size < *wanted ? "truncated" : "too long", *size, *wanted));
  }
  return {};
}

Status verify_parts(Storage& storage, const Place& place, const Manifest& manifest, const TransferOptions& options,
                    Progress& progress) {
  progress.total = manifest.total_bytes();
  return run_parallel(manifest.parts.size(), options.concurrency, progress, [&](size_t i) {
    return read_one(storage, place, manifest, i, [](std::string_view) { return Status{}; }, progress);
  });
}

Status restore_parts(Storage& storage, const Place& place, const Manifest& manifest,
                     const std::map<std::string, std::string>& folders, const TransferOptions& options,
                     Progress& progress) {
  progress.total = manifest.total_bytes();
  std::vector<std::string> paths;
  std::set<std::string> parents;
  for (const Part& part : manifest.parts) {
    const auto folder = folders.find(part.base);
    if (folder == folders.end()) {
      return fail(Code::kInvalidArgument,
                  fmt::format("the backup has files of '{}', which is not known here", part.base));
    }
    paths.push_back(folder->second + "/" + part.name);
    parents.insert(paths.back().substr(0, paths.back().rfind('/')));
  }
  for (const auto& [base, folder] : folders) parents.insert(folder);
  if (const auto data = folders.find("Data"); data != folders.end()) {
    for (const auto& name : manifest.directories) parents.insert(data->second + "/" + name);
  }
  for (const auto& parent : parents) RETURN_IF_ERROR(base::make_directories(parent));
  RETURN_IF_ERROR(run_parallel(manifest.parts.size(), options.concurrency, progress,
                               [&](size_t i) { return restore_one(storage, place, manifest, i, paths[i], progress); }));
  for (const auto& parent : parents) {
    const Descriptor folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) != 0) return base::system_error(errno, "sync " + parent);
  }
  return {};
}

}  // namespace vitrail::backup
