#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>

namespace vitrail::net {

namespace internal {
struct FreeBlock {
  FreeBlock* next;
};
struct FreeBlocks {
  FreeBlock* first = nullptr;
  uint32_t count = 0;
};
}  // namespace internal

// Memory for what comes and goes with every query: frames of coroutines, buffers of connections. What is given back
// stays with the thread that gives it back, for the next of its size.
//
//   Threads : any; a block may be given back on another thread than it was taken on.
//   Bounds  : kKeptBytes for each of the sizes, by thread; what is over goes back to the allocator. Larger blocks than
//             kLargest always do, but for those of kBuffer.
//   Under the address sanitizer nothing is kept, so that it sees each block's end.
class BlockPool {
 public:
  static constexpr size_t kStep = 64;
  static constexpr size_t kLargest = 4096;
  static constexpr size_t kBuffer = size_t{32} << 10;  // What a server sends at once, and some more.
  static constexpr size_t kKeptBytes = size_t{256} << 10;

  static void* take(size_t size) {
    if (const size_t index = index_of(size); index < free_.size()) {
      FreeBlocks& list = free_[index];
      if (internal::FreeBlock* const block = list.first; block != nullptr) {
        list.first = block->next;
        --list.count;
        return block;
      }
    }
    return take_new(size);
  }
  // `size`: as it was taken.
  static void give(void* memory, size_t size) noexcept {
    if (const size_t index = index_of(size); index < free_.size() && keeps_) {
      FreeBlocks& list = free_[index];
      if (list.count < kKeptBytes / (size <= kLargest ? (index + 1) * kStep : kBuffer)) {
        list.first = new (memory) internal::FreeBlock{list.first};
        ++list.count;
        return;
      }
    }
    give_back(memory);
  }

 private:
  static void* take_new(size_t size);
  static void give_back(void* memory) noexcept;

  using FreeBlocks = internal::FreeBlocks;
  static constexpr size_t kSizes = kLargest / kStep + 1;  // The last: kBuffer.
  // kSizes: blocks of this size are not kept.
  static size_t index_of(size_t size) {
    if (size - 1 < kLargest) return (size - 1) / kStep;
    return size == kBuffer ? kSizes - 1 : kSizes;
  }

  static inline constinit thread_local std::array<FreeBlocks, kSizes> free_{};
  static inline constinit thread_local bool keeps_ = false;  // Between the thread's first take_new() and its end.
};

// A text for bytes on their way out, empty at first, with the room of an earlier one: the thread keeps a few.
class SpareText {
 public:
  SpareText();
  ~SpareText();
  SpareText(const SpareText&) = delete;
  SpareText& operator=(const SpareText&) = delete;
  std::string& operator*() { return text_; }
  std::string* operator->() { return &text_; }

 private:
  std::string text_;
};

}  // namespace vitrail::net
