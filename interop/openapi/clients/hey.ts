// Calls the bookstore by the client that @hey-api/openapi-ts has made of its document.
import { client } from "./hey/client.gen";
import { bookstoreServiceCreateShelf, bookstoreServiceGetBook, bookstoreServiceListBooks } from "./hey/sdk.gen";
import type { BookstoreV1Book } from "./hey/types.gen";

async function main(url: string) {
  client.setConfig({ baseUrl: url });
  const got = await bookstoreServiceListBooks({ path: { shelf: "1" }, query: { pageSize: 2 } });
  const books: BookstoreV1Book[] = got.data?.books ?? [];
  const made = await bookstoreServiceCreateShelf({ query: { shelfId: "by-hey" }, body: { theme: "Made by hey" } });
  const failed = await bookstoreServiceGetBook({ path: { shelf: "1", book: "none / at all" } });
  const code: number | undefined = failed.error?.code;
  console.log(JSON.stringify({ books: books.length, made: made.data?.name, status: failed.response?.status, code }));
}

main(process.argv[2]!);
