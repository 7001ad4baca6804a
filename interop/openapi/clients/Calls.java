import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.BookstoreServiceApi;
import org.openapitools.client.model.BookstoreV1Book;
import org.openapitools.client.model.BookstoreV1Shelf;
import org.openapitools.client.model.GoogleRpcStatus;

import java.util.List;

/** Calls the bookstore by the client that openapi-generator has made of its document. */
public final class Calls {
    public static void main(String[] args) throws Exception {
        ApiClient client = new ApiClient();
        client.setBasePath(args[0]);
        BookstoreServiceApi api = new BookstoreServiceApi(client);
        List<BookstoreV1Book> books = api.bookstoreServiceListBooks("1", 2, null).getBooks();
        BookstoreV1Shelf made = api.bookstoreServiceCreateShelf("by-java", new BookstoreV1Shelf().theme("Made by Java"));
        try {
            api.bookstoreServiceGetBook("1", "none / at all", null);
            throw new IllegalStateException("there is a book");
        } catch (ApiException e) {
            GoogleRpcStatus error = GoogleRpcStatus.fromJson(e.getResponseBody());
            System.out.printf("{\"books\":%d,\"made\":\"%s\",\"status\":%d,\"code\":%d}%n", books.size(), made.getName(), e.getCode(), error.getCode());
        }
    }
}
