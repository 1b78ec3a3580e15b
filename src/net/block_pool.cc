#include "net/block_pool.h"

#include <new>
#include <vector>

namespace vitrail::net {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VITRAIL_KEEPS_NO_BLOCKS
#endif
#endif
#if defined(VITRAIL_KEEPS_NO_BLOCKS)
constexpr bool kKeeps = false;
#else
constexpr bool kKeeps = true;
#endif

constexpr size_t rounded(size_t size) {
  return size > BlockPool::kLargest ? size : (size + BlockPool::kStep - 1) / BlockPool::kStep * BlockPool::kStep;
}

constexpr size_t kSpareTexts = 64;
constexpr size_t kSpareTextMax = size_t{16} << 10;  // Longer ones are not kept.

std::vector<std::string>& spare_texts() {
  thread_local std::vector<std::string> texts;
  return texts;
}

}  // namespace

void* BlockPool::take_new(size_t size) {
  struct AtThreadsEnd {
    ~AtThreadsEnd() {
      keeps_ = false;
      for (FreeBlocks& list : free_) {
        while (internal::FreeBlock* const block = list.first) {
          list.first = block->next;
          ::operator delete(block);
        }
        list.count = 0;
      }
    }
    void use() const { keeps_ = kKeeps; }
  };
  thread_local bool known = false;
  if (!known) {
    known = true;  // Once: what comes behind the thread's end is not kept any more.
    thread_local const AtThreadsEnd at_threads_end;
    at_threads_end.use();
  }
  return ::operator new(rounded(size));
}

void BlockPool::give_back(void* memory) noexcept { ::operator delete(memory); }

SpareText::SpareText() {
  auto& texts = spare_texts();
  if (texts.empty()) return;
  text_ = std::move(texts.back());
  texts.pop_back();
}

SpareText::~SpareText() {
  auto& texts = spare_texts();
  if (text_.capacity() > kSpareTextMax || texts.size() >= kSpareTexts) return;
  text_.clear();
  texts.push_back(std::move(text_));
}

}  // namespace vitrail::net
