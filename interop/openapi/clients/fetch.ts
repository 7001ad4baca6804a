// Calls the bookstore by openapi-fetch with the types that openapi-typescript has made of its document.
import createClient from "openapi-fetch";
import type { components, paths } from "./types";

type Book = components["schemas"]["bookstore.v1.Book"];

async function main(url: string) {
  const client = createClient<paths>({ baseUrl: url });
  const got = await client.GET("/v1/shelves/{shelf}/books", { params: { path: { shelf: "1" }, query: { pageSize: 2 } } });
  const books: Book[] = got.data?.books ?? [];
  const made = await client.POST("/v1/shelves", { params: { query: { shelfId: "by-fetch" } }, body: { theme: "Made by fetch" } });
  const failed = await client.GET("/v1/shelves/{shelf}/books/{book}", { params: { path: { shelf: "1", book: "none / at all" } } });
  const code: number | undefined = failed.error?.code;
  console.log(JSON.stringify({ books: books.length, made: made.data?.name, status: failed.response.status, code }));
}

main(process.argv[2]!);
